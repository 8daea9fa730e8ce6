//! The shipped services in virtual time: each does what it promises.

use resurge::report::{RunModel, Status};
use resurge::run::{InMemory, simulation_of};
use resurge::scenario::load;

use crate::virtual_refusals::shipped;

#[test]
fn the_shipped_services_hold_their_thresholds_in_virtual_time() {
    let files = shipped("services");
    assert!(files.len() >= 20);
    for path in files {
        let loaded = load(&path, &Vec::new(), None, &|_| None).unwrap();
        let simulation = simulation_of(loaded, None).unwrap();
        let (journal, end) = simulation.run_audited(InMemory::Seconds, Some(100));
        let again = simulation.run_audited(InMemory::Seconds, None).0;
        assert_eq!(journal, again, "{}: the same seed, another run", path.display());
        assert_eq!(end.faults, [""; 0], "{}", path.display());
        let model = RunModel::new(journal);
        assert_eq!(model.account_faults, [""; 0], "{}", path.display());
        assert_eq!(
            model.verdict.status,
            Status::Pass,
            "{}: {}",
            path.display(),
            model.answer.lines().collect::<String>()
        );
        let reconciliation = model.reconciliation.as_ref().unwrap();
        assert!(reconciliation.holds(), "{}: {reconciliation:?}", path.display());
    }
}
