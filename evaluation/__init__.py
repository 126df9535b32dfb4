"""Numbers about responses. A leaf: knows no model, and anyone may import it."""
