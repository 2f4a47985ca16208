//! Between what a group may launch and what a recording holds of it.

use std::collections::BTreeSet;

use ebb_core::reaper::instance_types::{GroupTypes, InstanceType, Launchable};

use super::format::{RecordedInstanceType, RecordedLaunchable};

impl From<&GroupTypes> for RecordedLaunchable {
    fn from(GroupTypes { launchable, types }: &GroupTypes) -> Self {
        let (names, not_judged) = match launchable {
            Launchable::Types(names) => (names.clone(), None),
            Launchable::NotJudged(why) => (BTreeSet::new(), Some(why.clone())),
        };
        let described = types.iter().map(|(name, of_type)| (name.clone(), of_type.into()));
        Self { types: names, not_judged, described: described.collect() }
    }
}

impl From<RecordedLaunchable> for GroupTypes {
    fn from(RecordedLaunchable { types, not_judged, described }: RecordedLaunchable) -> Self {
        let launchable = match not_judged {
            Some(why) => Launchable::NotJudged(why),
            None => Launchable::Types(types),
        };
        let types = described.into_iter().map(|(name, recorded)| (name, recorded.into()));
        Self { launchable, types: types.collect() }
    }
}

impl From<&InstanceType> for RecordedInstanceType {
    fn from(of_type: &InstanceType) -> Self {
        let InstanceType { vcpus, memory_mib, architectures, network_interfaces, prices_microusd } =
            of_type.clone();
        Self { vcpus, memory_mib, architectures, network_interfaces, prices_microusd }
    }
}

impl From<RecordedInstanceType> for InstanceType {
    fn from(recorded: RecordedInstanceType) -> Self {
        let RecordedInstanceType {
            vcpus,
            memory_mib,
            architectures,
            network_interfaces,
            prices_microusd,
        } = recorded;
        Self { vcpus, memory_mib, architectures, network_interfaces, prices_microusd }
    }
}
