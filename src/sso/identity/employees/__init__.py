"""Employees of the city: who works for it, under which NIP, from when and until when."""
