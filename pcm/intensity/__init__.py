"""Intensities: half a wish has half the effect."""
