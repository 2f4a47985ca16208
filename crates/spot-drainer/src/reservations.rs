//! Finds out which instances a notice about a Capacity Reservation means.

use ebb_aws::Problem;
use ebb_core::spot::notice::Subject;

use crate::drainer::SpotDrainer;
use crate::work::Work;

impl SpotDrainer {
    /// Asks EC2 for the instances of each reservation that is open, and puts them in its place.
    /// Whether there is any. A reservation that EC2 could not be asked about has a problem.
    pub(crate) async fn resolve_reservations(&self, work: &mut Work) -> bool {
        let mut found = false;
        for announcement in work.open_reservations() {
            let Subject::CapacityReservation(id) = &announcement.subject else { continue };
            // What is open stays in the work meanwhile: an invocation that is cut off here must not
            // forget it.
            match self.clients.ec2.instances_in(id).await {
                Ok(ids) => {
                    found |= !ids.is_empty();
                    work.resolve(&announcement, id, &ids);
                }
                Err(error) => work.note_unresolved(&announcement, &Problem::from(error)),
            }
        }
        found
    }
}
