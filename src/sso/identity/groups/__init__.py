"""Organisational units and groups of users, and the roles of applications that users have.

A unit (an agency, a division, a health centre, a school) stands in a tree; a group stands alone. A role of an
application is given to a user or to a group, if wanted with the units below it, and if wanted for one unit only.
"""
