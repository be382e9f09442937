"""sema-lite."""
