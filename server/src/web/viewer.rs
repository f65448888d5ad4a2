//! Who reads a page, for its templates.

use crate::access::{self, Principal, Role};

/// Who reads the page that is being made.
pub struct Viewer {
    principal: Principal,
    at: String,
}

/// Who reads the page that is being made.
pub fn now() -> Viewer {
    let now = access::current();
    Viewer {
        principal: now.principal,
        at: now.at,
    }
}

impl Viewer {
    /// Name and role of who is signed in.
    pub fn signed_in(&self) -> Option<(&str, &'static str)> {
        match &self.principal {
            Principal::User { name, role, .. } => Some((name, role.as_str())),
            _ => None,
        }
    }

    /// The hidden field of each form.
    pub fn form_token(&self) -> &str {
        match &self.principal {
            Principal::User { form_token, .. } => form_token,
            _ => "",
        }
    }

    /// Where to sign in, and come back to this page.
    pub fn sign_in(&self) -> String {
        super::sign_in_at(&self.at)
    }

    pub fn submits(&self) -> bool {
        self.principal.may(Role::Submitter)
    }

    pub fn operates(&self) -> bool {
        self.principal.may(Role::Operator)
    }

    /// Whether actions on what this owner asked for are shown.
    pub fn may_act_on(&self, owner: &str) -> bool {
        self.principal.may_act_on(owner)
    }
}
