"""The journey of one shipment with its logger, and every reading that follows from it."""
