"""Who people are: users, authentication, sessions."""
