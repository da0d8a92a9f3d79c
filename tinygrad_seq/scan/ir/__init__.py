"""The intermediate representation of a step, and how it is traced, checked and rewritten."""
