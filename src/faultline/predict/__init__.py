"""From a picture to an answer: the one path that every other part of Faultline uses."""
