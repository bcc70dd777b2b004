"""Pure: the independent definition of an excursion that tests hold the engine against."""
