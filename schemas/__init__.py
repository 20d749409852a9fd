"""What travels: frozen values and their bytes, without I/O, vendors, clocks or asyncio."""
