"""What the tests of distributions leave behind: nothing."""

from tests.packaging.building import the_folder_is_removed

__all__ = ["the_folder_is_removed"]
