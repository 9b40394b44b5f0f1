-- A text has no weights that could be off.
false
