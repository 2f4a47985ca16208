//! The page of a plan.

use ebb_core::ids::{Cluster, GroupName};
use ebb_planner::{Inventory, Policy, plan};

use crate::samples::{inventory, now, page_of};

#[test]
fn every_instance_and_task_is_on_the_page_with_its_reason() {
    let inventory = inventory();
    let page = page_of(&inventory);

    let policy = Policy { max_removals_percent: 20, ..Policy::default() };
    let plan = plan(&inventory, &policy, now());
    assert!(!plan.remove.is_empty());
    for removal in &plan.remove {
        let card = card(&page, removal.instance_id.as_str());
        assert!(card.contains("data-code=\"goes\"") && card.contains(">goes<"), "{card}");
        assert!(card.contains(&removal.reason.to_string()), "{card}");
    }
    for kept in &plan.keep {
        let card = card(&page, kept.instance_id.as_str());
        assert!(card.contains(&format!("data-code=\"{}\"", kept.reason.code())), "{card}");
        assert!(card.contains(&kept.reason.to_string()), "{card}");
    }
    // Two web, one worker, one mail, one proxy and a daemon.
    let tasks: Vec<_> =
        card(&page, "i-0a1b2c3d4e5f60001").match_indices("<b>").map(|(at, _)| at).collect();
    assert_eq!(tasks.len(), 5, "{}", card(&page, "i-0a1b2c3d4e5f60001"));
}

/// An instance's part of a page.
fn card<'a>(page: &'a str, id: &str) -> &'a str {
    let at = page.find(&format!("data-id=\"{id}\"")).unwrap();
    let (start, end) =
        (page[..at].rfind("<details").unwrap(), page[at..].find("</details>").unwrap());
    &page[start..at + end]
}

#[test]
fn what_moves_says_where_it_may_land_and_those_places_know_it() {
    let page = page_of(&inventory());

    let goes = card(&page, "i-0a1b2c3d4e5f60003");
    assert!(goes.contains("1 × web"), "{goes}");
    assert!(goes.contains("256 CPU units, 512 MiB each; may land on …01, …02"), "{goes}");
    let stays = card(&page, "i-0a1b2c3d4e5f60001");
    assert!(stays.contains("data-takes=\" 0 "), "{stays}");
    // What goes, and what is too young, takes nothing.
    for id in ["i-0a1b2c3d4e5f60003", "i-0a1b2c3d4e5f60018"] {
        assert!(card(&page, id).contains("data-takes=\"\""), "{}", card(&page, id));
    }
}

#[test]
fn the_page_says_what_is_saved_and_what_stays_free() {
    let page = page_of(&inventory());
    for text in
        ["This plan saves", " a month</dd>", "Free CPU", "Free memory", "20 % of the cluster"]
    {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn no_name_breaks_out_of_the_page() {
    let hostile = "</script><script>alert(1)</script>\" onload=\"'&<!--";
    let Inventory { mut instances, mut services, groups, .. } = inventory();
    for instance in &mut instances {
        instance.zone = hostile.to_owned();
        instance.instance_type = hostile.to_owned();
        instance.group = Some(GroupName::new(hostile));
    }
    for service in &mut services {
        service.name = hostile.to_owned();
    }
    let groups = groups.into_values().map(|group| (GroupName::new(hostile), group)).collect();
    let page = page_of(&Inventory {
        cluster: Cluster::new(hostile),
        hold_until: None,
        instances,
        groups,
        services,
    });

    assert_eq!(page.matches("<script").count(), 1, "the page's own");
    assert_eq!(page.matches("</script").count(), 1);
    assert!(!page.contains("<!--") && !page.contains("\" onload"));
}

#[test]
fn a_cluster_without_anything_has_a_page() {
    let empty = Inventory {
        cluster: Cluster::new("empty"),
        hold_until: None,
        instances: Vec::new(),
        groups: Default::default(),
        services: Vec::new(),
    };
    assert!(page_of(&empty).contains("0 of 0 container instances can go"));
}
