//! Arms and clock of a policy: the methods of [`Policy`](super::Policy) that every family has, written once.

/// The methods of a [`Policy`](super::Policy) that manage arms and expire decisions, for a policy with the fields `arms` and
/// `clock` and three private methods: `reserve_arm` makes room for a copy of a slot or, without one, for an arm that has learned
/// nothing; `push_arm` adds it, which cannot fail; `remove_slot` removes what a slot has learned, and moves the last one there.
macro_rules! manages_arms {
    ($self:ident) => {
        fn arms(&$self) -> &$crate::policy::ArmSet {
            &$self.arms
        }

        fn version(&$self) -> u64 {
            $self.clock.version
        }

        fn epoch(&$self) -> u64 {
            $self.clock.epoch
        }

        fn add_arm(&mut $self) -> $crate::error::Result<$crate::policy::ArmId> {
            $self.reserve_arm(None)?;
            let arm = $self.arms.add()?;
            $self.push_arm(arm, None);
            Ok(arm)
        }

        fn insert_arm(&mut $self, arm: $crate::policy::ArmId) -> $crate::error::Result<()> {
            $self.reserve_arm(None)?;
            $self.arms.insert(arm)?;
            $self.push_arm(arm, None);
            Ok(())
        }

        fn add_arm_like(&mut $self, like: $crate::policy::ArmId) -> $crate::error::Result<$crate::policy::ArmId> {
            let like = Some($self.arms.slot(like)?);
            $self.reserve_arm(like)?;
            let arm = $self.arms.add()?;
            $self.push_arm(arm, like);
            Ok(arm)
        }

        fn remove_arm(&mut $self, arm: $crate::policy::ArmId) -> $crate::error::Result<()> {
            let slot = $self.arms.remove(arm)?;
            $self.remove_slot(arm, slot);
            Ok(())
        }

        fn expire_decisions(&mut $self) -> $crate::error::Result<()> {
            $self.clock.expire();
            Ok(())
        }
    };
}
pub(crate) use manages_arms;
