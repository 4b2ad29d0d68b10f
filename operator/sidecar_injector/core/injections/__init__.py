"""What an injection is: its schema, its rules, its parameters, and which ones a namespace has."""
