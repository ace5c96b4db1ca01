"""RUNs on labelled data sets: scored, judged and compared."""
