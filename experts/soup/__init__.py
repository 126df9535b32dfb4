"""Soups: one parameter update out of many experts', as one ordinary adapter that any server can load."""

from experts.soup.exact import merged_adapter, merged_update

__all__ = ["merged_adapter", "merged_update"]
