"""Matrix products: the register tile, products with packed panels, whole products on several threads."""
