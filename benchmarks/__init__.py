"""Measurements of the coefficient reader beside other readers; not installed with the package."""
