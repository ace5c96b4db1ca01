"""`fit` by plain names, for tests that vary one of many things."""

from dataclasses import fields

from oddframe.train.fit import Budget, Footage, Wanted, fit


def fit_with(model, data, out, **options):
    """Options of `Wanted`, `Footage` and `Budget` go where they belong, the rest to `fit`."""

    def taken(kind):
        return {f.name: options.pop(f.name) for f in fields(kind) if f.name in options}

    wanted, footage = Wanted(model, **taken(Wanted)), Footage(data, **taken(Footage))
    return fit(wanted, footage, out, Budget(**taken(Budget)), **options)
