"""What the developer portal and the administration console share: who is here, permissions, page frames."""
