"""Random JSON documents of the unfriendly kind: nested, escaped, repeated, spaced, broken."""

import json
from random import Random

from gateway.stages.locators import Location, Plan, Shape

STRINGS = (
    *('"seed"',) * 3,
    *('"series-a"', '"Series A"', '"bad"', '""', '"é"', '"stage"', '"D"', '"\\u0073eed"', '"se\\/ed"'),
    *('"a]},{\\"stage\\":"', '"x\\\\"', '"}},{"', '"\\"},{"', '"],["', '"},{\\"stage\\":\\"seed\\"}]"', '"[[[{{{"'),
    *('"\\u00e9"', '"\\ud83d\\ude00"', '"\\uD83D\\uDE00\\ud83d\\ude01"', '"\\\\ud83d"'),
)
SCALARS = ("1", "0.5", "0", "null", "true", "-1", "1e3", "0.25", "1e400", "18446744073709551616", "0.1", "-0", "1.0")
NAMES = (
    *('"stage"',) * 4,
    *('"w"', '"D"', '"a"', '"f"', '"z"', '"k"', '"x"', '"y"', '"\\u0073tage"', '"\\u0044"', '"__proto__"'),
    *('"é"', '"\\u00e9"', '"a/b"', '"a\\/b"'),
)
DAMAGE = (b"}", b"]", b",", b'"', b"{", b"[", b"\xef\xbb\xbf", b"\\", b"\xc3", b"\x0c", b"\x00", b"\\ud800", b":")

TAILS = (
    b'"',
    b'"abc',
    b' "',
    b'"\xc3\xa9',
    b'"\\ud83d\\ude00',
    b"x",
    b"-",
    b"/",
    b",",
    b"}",
    b"]",
    b"\x00",
    b"1",
    b'""',
    b"\xc3",
)


def plans() -> list[Plan]:
    """Return plans that windows fit and plans they do not fit."""
    others: list[list[Location]] = [
        [],
        [Location(Shape.VALUE, ("z",))],
        [Location(Shape.KEYS, ("k",), required=True)],
        [Location(Shape.VALUE, ("a", "z"))],
        [Location(Shape.KEYS, ("a",))],
    ]
    made = [
        Plan.of(
            [Location(Shape.EACH, path, field="stage", weight=weight, required=True), *other],
            fund=fund,
            tolerance=tolerance,
        )
        for path in ((), ("D",), ("a", "D"), ("é",), ("a/b",))
        for weight in (None, "w")
        for tolerance in (None, 0.01)
        for fund in (None, ("f",), ("a", "f"))
        for other in others
    ]
    made.append(Plan.of([Location(Shape.VALUE, ("D", "*", "stage"))]))
    made.append(Plan.of([Location(Shape.VALUE, ("*", "*", "stage")), Location(Shape.KEYS, ("*",))]))
    made.append(Plan.of([Location(Shape.EACH, ("*", "D"), field="stage"), Location(Shape.EACH, ("D",), field="stage")]))
    return made


class Writer:
    """Writes one document for a plan, by the choices of `random`."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._pick = random.choice
        self._colon = self._pick([":", ": ", " :"])
        self._comma = self._pick([",", ", "])

    def document(self, plan: Plan) -> bytes:
        if plan.array is not None and not plan.array.path and self._random.random() < 0.8:
            text = self._space() + self._array() + self._space()
        else:
            path = plan.array.path if plan.array is not None else ()
            text = self._around(path or ("D",))
        return self._damaged(text.encode())

    def _space(self) -> str:
        return self._pick([""] * 12 + [" ", "\n", "\r\n\t", "  "])

    def _around(self, path: tuple[str, ...]) -> str:
        """Write an object with the array in it, perhaps first or last, perhaps twice."""
        inner = self._array() if len(path) == 1 else self._around(path[1:])
        members = [f"{self._space()}{json.dumps(path[0], ensure_ascii=False)}{self._space()}:{self._space()}{inner}"]
        for _ in range(self._random.randint(0, 3)):
            name = self._pick([self._pick(NAMES), '"f"', '"z"', '"k"'])
            value = self._pick(
                [self._value(2), "1", '"seed"', '{"seed":1}', "[]", "2", '{"D":[]}', '{"seed":0.5,"series-a":0.5}']
            )
            members.insert(self._random.randint(0, len(members)), f"{self._space()}{name}:{value}")
        if self._random.random() < 0.1:
            members.append(f'"{self._pick("Dxa")}":{self._array()}')
        if self._random.random() < 0.03:
            members.append(self._pick(members))
        return "{" + ",".join(members) + "}"

    def _array(self) -> str:
        oddity = self._pick([0, 0, 0, 0.01, 0.05, 0.3])
        elements = [self._element(oddity) for _ in range(self._random.randint(0, 60))]
        between = self._pick([",", ", ", ",\n  ", " , ", "\r\n,"])
        ending = self._pick(["", "\n", ""]) + self._pick(["]"] * 30 + [",]", ""])
        return "[" + self._pick(["", "\n  ", ""]) + between.join(elements) + ending

    def _element(self, oddity: float) -> str:
        chance = self._random.random
        if chance() < oddity:
            return self._value(2)
        stage = self._pick(STRINGS) if chance() < oddity else self._pick(['"seed"', '"series-a"', '"series-b"'])
        members = [f'"stage"{self._colon}{stage}']
        if chance() < 0.8:
            members.append(f'"w"{self._colon}{self._pick(["0.01", "0.1", "0", "1", "0.02"])}')
        if chance() < 0.3:
            members.append(f'"x"{self._colon}{self._value(2)}')
        if chance() < oddity:
            members.append(f"{self._pick(NAMES)}{self._colon}{self._value(2)}")
        if chance() < 0.3:
            self._random.shuffle(members)
        return "{" + self._comma.join(members) + "}"

    def _value(self, depth: int) -> str:
        kind = self._random.random()
        if kind < 0.35 or depth > 4:
            return self._pick(STRINGS)
        if kind < 0.55:
            return self._pick(SCALARS)
        size = self._random.randint(0, 4)
        spaced = [f"{self._space()}{self._value(depth + 1)}{self._space()}" for _ in range(size)]
        if kind < 0.75:
            return "[" + ",".join(spaced) + "]"
        return "{" + ",".join(f"{self._space()}{self._pick(NAMES)}{self._space()}:{value}" for value in spaced) + "}"

    def _damaged(self, body: bytes) -> bytes:
        if not body or self._random.random() < 0.8:
            return body
        if self._random.random() < 0.1:
            return body + self._pick(TAILS)
        damaged = bytearray(body)
        for _ in range(self._random.randint(1, 2)):
            place, how = self._random.randrange(len(damaged)), self._random.random()
            if how < 0.4:
                del damaged[place : place + 1]
            elif how < 0.8:
                damaged[place] = self._pick(b'{}[],:"\\ \x00\xff\xe9a0')
            else:
                damaged[place:place] = self._pick(DAMAGE)
            if not damaged:
                break
        return bytes(damaged)
