"""From a due shipment to its verdict: claim, load, judge, save."""
