"""Stage gateway: a validation gateway for investment stages."""

__version__ = "0.1.0"
