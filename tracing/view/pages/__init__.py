"""What each page shows: from calls as plain values to what its template draws."""
