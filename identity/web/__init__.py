"""HTTP, and nothing but HTTP: `routes` is the table of endpoints; requests are parsed in `forms`, errors leave by `errors`."""
