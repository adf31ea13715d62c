"""The project of a user is no test of ours: it is checked, and its own tests run, by a test."""

from tests.packaging.building import the_folder_is_removed

__all__ = ["the_folder_is_removed"]

collect_ignore = ["user_project"]
