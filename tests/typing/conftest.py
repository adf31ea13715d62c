"""The project of a user is no test of ours: it is checked, and its own tests run, by a test."""

collect_ignore = ["user_project"]
