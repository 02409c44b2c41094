"""Floor 3: losses and targets shared by two or more methods; a loss of one method lives with it."""
