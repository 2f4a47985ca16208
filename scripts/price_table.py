#!/usr/bin/env python3
"""Makes the table of list prices that a release carries (crates/core/src/prices/table.txt).

    python3 scripts/price_table.py KARPENTER_CHECKOUT > crates/core/src/prices/table.txt

The source is a checkout of https://github.com/aws/karpenter-provider-aws, which asks AWS's Price
List for them every few weeks and writes them, by Region, into generated files: on-demand, Linux,
shared tenancy, US dollars an hour. Only the prices are taken. What a price is used for, and which
sources come before the table, is said in crates/core/src/prices.rs.
"""

import pathlib
import re
import sys

FOLDER = "pkg/providers/pricing"
FILES = ["zz_generated.pricing_aws.go", "zz_generated.pricing_aws_us_gov.go"]
GENERATED = re.compile(r"// generated at (\d{4}-\d{2}-\d{2})T")
REGION = re.compile(r'^\t"([a-z0-9-]+)": \{')
PRICE = re.compile(r'"([a-z0-9-]+\.[a-z0-9-]+)": ([0-9.]+)')
# ECS has no agent for macOS.
LEFT_OUT = re.compile(r"mac")


def prices(text):
    """The prices of a generated file: by Region, then by instance type."""
    regions = {}
    for line in text.splitlines():
        if region := REGION.match(line):
            current = regions.setdefault(region[1], {})
        for instance_type, usd in PRICE.findall(line):
            if float(usd) > 0 and not LEFT_OUT.match(instance_type):
                current[instance_type] = f"{float(usd):.6f}".rstrip("0").rstrip(".")
    return regions


def main():
    folder = pathlib.Path(sys.argv[1]) / FOLDER
    texts = [(folder / name).read_text() for name in FILES]
    # The oldest: no price is older than the table says it is.
    date = min(GENERATED.search(text)[1] for text in texts)
    regions = {region: table for text in texts for region, table in prices(text).items()}
    if "us-east-1" not in regions or len(regions["us-east-1"]) < 500:
        sys.exit(f"{folder} does not look as it used to: {len(regions)} Regions were read")
    print("# On-demand list prices of Linux instances in US dollars an hour, by Region. From AWS's")
    print("# Price List, as karpenter-provider-aws has it; made by scripts/price_table.py.")
    print(date, *regions)
    for instance_type in sorted(set().union(*regions.values())):
        print(instance_type, *(table.get(instance_type, "-") for table in regions.values()))


if __name__ == "__main__":
    main()
