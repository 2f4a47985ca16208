//! What instance types cost in the Region: the few that stories are told with. How prices are asked
//! for is left to `wire`.

/// The prices of an instance type in US dollars an hour.
pub(crate) struct Price {
    pub(crate) instance_type: &'static str,
    pub(crate) on_demand: &'static str,
    /// By Availability Zone, from the first on.
    pub(crate) spot: [&'static str; 3],
}

/// All prices. AWS writes them with ten and with six digits.
pub(crate) const PRICES: [Price; 3] = [
    Price {
        instance_type: "m7g.large",
        on_demand: "0.0898000000",
        spot: ["0.031200", "0.034400", "0.029900"],
    },
    Price {
        instance_type: "m7g.xlarge",
        on_demand: "0.1796000000",
        spot: ["0.063100", "0.068200", "0.060700"],
    },
    Price {
        instance_type: "m7g.2xlarge",
        on_demand: "0.3592000000",
        spot: ["0.121900", "0.135600", "0.119000"],
    },
];
