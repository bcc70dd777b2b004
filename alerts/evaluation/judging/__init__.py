"""Pure: the judgement of a shipment, from what was loaded to what must be saved."""
