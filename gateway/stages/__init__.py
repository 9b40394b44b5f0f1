"""What a stage is, where stages stand in a request, and whether they are right. Pure: same input, same answer."""
