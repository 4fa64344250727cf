//! Random histories, on the allocator and on the reference model: the same answers at each step.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::model::Model;
use super::*;

const SERVICES: usize = 12;

/// Blocks of four addresses that pools are made of, in both families, across the border of a page.
const BLOCKS: usize = 8;

fn block(family: Family, number: usize) -> String {
    let place = 240 + 4 * number;
    match family {
        Family::V4 => format!("10.0.{}.{}/30", place / 256, place % 256),
        Family::V6 => format!("fd00::{place:x}/126"),
    }
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    let inside = (240_u32..272, any::<bool>()).prop_map(|(place, v4)| match v4 {
        true => ip(&format!("10.0.{}.{}", place / 256, place % 256)),
        false => ip(&format!("fd00::{place:x}")),
    });
    prop_oneof![
        40 => inside,
        1 => Just(ip("10.0.9.9")),
        1 => Just(ip("10.0.0.239")),
        1 => Just(ip("fd00::110")),
    ]
}

fn any_claim() -> impl Strategy<Value = Claim> {
    (
        subsequence(vec!["TCP/80", "TCP/443", "UDP/80", "TCP/1"], 0..3),
        select(vec!["", "", "k", "k", "l"]),
        select(vec!["", "", "", "app=a"]),
    )
        .prop_map(|(ports, sharing, backend)| claim(&ports, sharing, backend))
}

/// Pools made of the blocks. Each block is in some pool or none, in a random order within it.
fn any_pools() -> impl Strategy<Value = Vec<Pool>> {
    let blocks: Vec<_> = [Family::V4, Family::V6]
        .into_iter()
        .flat_map(|family| (0..BLOCKS).map(move |number| (family, number)))
        .collect();
    let places = prop_oneof![
        // Both families of a block in one pool, nothing left out: what is held mostly fits.
        4 => proptest::collection::vec(0_usize..2, BLOCKS).prop_map(|places| [places.clone(), places].concat()),
        2 => Just(vec![0; 2 * BLOCKS]),
        // Anything: pool 3 is no pool.
        3 => proptest::collection::vec(0_usize..4, 2 * BLOCKS),
    ];
    (
        places,
        prop_oneof![Just(blocks.clone()), Just(blocks).prop_shuffle()],
        proptest::collection::vec((any::<bool>(), 0..4), 3),
        subsequence(vec!["a", "b", "c", "d"], 3),
    )
        .prop_map(|(places, blocks, flags, names)| {
            let mut pools: Vec<_> = (0..3)
                .map(|number| {
                    let addresses: Vec<_> = blocks
                        .iter()
                        .filter(|(family, block)| {
                            places[block + if *family == Family::V6 { BLOCKS } else { 0 }] == number
                        })
                        .map(|(family, number)| block(*family, *number))
                        .collect();
                    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
                    let pool = pool(names[number], &addresses);
                    Pool {
                        auto_assign: flags[number].0,
                        avoid_buggy_ips: flags[number].1 == 0,
                        ..pool
                    }
                })
                .collect();
            if flags[0].0 {
                pools.reverse();
            }
            pools
        })
}

#[derive(Debug, Clone)]
enum Op {
    SetPools(Vec<Pool>),
    Assign(usize, Vec<IpAddr>, Claim),
    /// Assigns again what the Service holds, or what another holds.
    Adopt(usize, usize, Claim),
    Unassign(usize),
    AllocateFromPool(usize, Families, &'static str, Claim),
    Allocate(usize, Families, Claim),
}

fn any_op() -> impl Strategy<Value = Op> {
    let service = || 0..SERVICES;
    let families = || select(vec![V4, V4, V6, Families::Dual]);
    prop_oneof![
        2 => any_pools().prop_map(Op::SetPools),
        2 => (service(), proptest::collection::vec(any_address(), 0..4), any_claim())
            .prop_map(|(service, addresses, claim)| Op::Assign(service, addresses, claim)),
        2 => (service(), any_address(), any_claim())
            .prop_map(|(service, address, claim)| Op::Assign(service, vec![address], claim)),
        2 => (service(), service(), any_claim())
            .prop_map(|(service, other, claim)| Op::Adopt(service, other, claim)),
        4 => service().prop_map(Op::Unassign),
        3 => (service(), families(), select(vec!["a", "b", "c", "d"]), any_claim())
            .prop_map(|(service, families, pool, claim)| Op::AllocateFromPool(service, families, pool, claim)),
        6 => (service(), families(), any_claim())
            .prop_map(|(service, families, claim)| Op::Allocate(service, families, claim)),
    ]
}

fn service(number: usize) -> ObjectKey {
    key(&format!("s{number}"))
}

/// Does one thing to both and compares what they say.
fn step(allocator: &mut Allocator, model: &mut Model, op: &Op) -> Result<(), TestCaseError> {
    match op {
        Op::SetPools(pools) => {
            prop_assert_eq!(allocator.set_pools(pools), model.set_pools(pools));
        }
        Op::Assign(number, addresses, claim) => {
            let service = service(*number);
            prop_assert_eq!(
                allocator.assign(&service, addresses, claim),
                model.assign(&service, addresses, claim)
            );
        }
        Op::Adopt(number, other, claim) => {
            let service = service(*number);
            let other = self::service(*other);
            let addresses = model
                .held(&other)
                .map_or_else(Vec::new, |held| held.addresses.to_vec());
            prop_assert_eq!(
                allocator.assign(&service, &addresses, claim),
                model.assign(&service, &addresses, claim)
            );
        }
        Op::Unassign(number) => {
            let service = service(*number);
            prop_assert_eq!(allocator.unassign(&service), model.unassign(&service));
        }
        Op::AllocateFromPool(number, families, pool, claim) => {
            let service = service(*number);
            prop_assert_eq!(
                allocator.allocate_from_pool(&service, *families, pool, claim),
                model.allocate_from_pool(&service, *families, pool, claim)
            );
        }
        Op::Allocate(number, families, claim) => {
            let service = service(*number);
            prop_assert_eq!(
                allocator.allocate(&service, *families, claim),
                model.allocate(&service, *families, claim)
            );
        }
    }
    for number in 0..SERVICES {
        let service = service(number);
        prop_assert_eq!(allocator.held(&service), model.held(&service));
    }
    let (ours, theirs): (Vec<_>, Vec<_>) = (allocator.usage().collect(), model.usage().collect());
    prop_assert_eq!(ours, theirs);
    allocator.audit();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_answer_is_the_models(
        pools in any_pools(),
        ops in proptest::collection::vec(any_op(), 50..200),
    ) {
        let (mut allocator, mut model) = (Allocator::default(), Model::default());
        step(&mut allocator, &mut model, &Op::SetPools(pools))?;
        for op in &ops {
            step(&mut allocator, &mut model, op)?;
        }
        for (addresses, _) in model.held.values() {
            prop_assert_eq!(allocator.pool_of(addresses), model.pool_of(addresses));
        }
        // All given back: nothing is left of it.
        for number in 0..SERVICES {
            allocator.unassign(&service(number));
        }
        allocator.audit();
        prop_assert_eq!(allocator.holders.pages().count(), 0);
        prop_assert_eq!(allocator.usage().map(|pool| pool.in_use).sum::<i64>(), 0);
    }
}
