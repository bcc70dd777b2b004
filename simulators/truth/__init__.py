"""Pure: the plain definition of an excursion, which the engine is held against."""
