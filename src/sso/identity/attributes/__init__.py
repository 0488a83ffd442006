"""Attributes of users that a city declares in one file, beside the standard claims: what each is, who may read and
write it, and the values that users have. Pure but for the store."""
