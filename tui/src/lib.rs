//! The deck: Model, Msg, pure update, pure view.
