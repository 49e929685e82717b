"""The allocation solver's optima on card allocate/solver-practice, by HiGHS (scipy): the test has them as constants."""
import sys

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

EXPECTED = {1: (10, 3.0, 3517037), 2: (50, 4.0, 5461420), 3: (200, 3.5, 36727865), 4: (500, 4.25, 45688679)}
BITS = (2, 3, 4, 8)


def instance(seed, n):
    x = seed
    rows = []

    def draw():
        nonlocal x
        x = (x * 6364136223846793005 + 1442695040888963407) % 2**64
        return x >> 33

    for _ in range(n):
        size, sensitivity = 1 + draw() % 1000, 1 + draw() % 100000
        row = []
        for bits in BITS:
            base = (size * sensitivity) >> (2 * bits)
            row.append((size * bits, base + (draw() % (1 + base // 4) if base >= 4 else 0)))
        rows.append((size, row))
    return rows


def main():
    wrong = 0
    for seed, (n, average, optimum) in EXPECTED.items():
        rows = instance(seed, n)
        capacity = int(sum(size for size, _ in rows) * average)
        cost = np.array([[c for c, _ in row] for _, row in rows], float).ravel()
        loss = np.array([[l for _, l in row] for _, row in rows], float).ravel()
        one_each = np.kron(np.eye(n), np.ones(len(BITS)))
        solution = milp(loss, integrality=np.ones_like(loss), bounds=Bounds(0, 1),
                        constraints=[LinearConstraint(one_each, 1, 1), LinearConstraint(cost[None], -np.inf, capacity)],
                        options={"mip_rel_gap": 0, "time_limit": 120})
        same = solution.status == 0 and round(solution.fun) == optimum
        wrong += not same
        print(f"seed {seed}, {n} classes: HiGHS {solution.fun:.0f}, lowp {optimum}: {'equal' if same else 'DIFFERENT'}")
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
