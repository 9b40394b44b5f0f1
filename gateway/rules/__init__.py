"""The configuration file: its model, its errors, its schema, and the frozen `Rules` made of it."""
