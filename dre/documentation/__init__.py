"""What is told to people, wherever they look: words for sizes and times, text that nothing obeys, lines that matter."""
