"""What people do, whatever they do it by: each function one deed."""
