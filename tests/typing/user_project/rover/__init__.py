"""A rover that learns how fast to drive: what somebody writes who uses the library."""
