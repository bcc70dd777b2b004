"""The journey of one shipment with its logger: what happens to it, and every reading that follows from that."""
