"""What knows no domain: database, security, keys, audit log, metrics, outbox."""
