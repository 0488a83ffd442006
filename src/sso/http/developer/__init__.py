"""Pages of developers: applications of teams."""
