"""The screens: one script per step of an examination, and in ``parts`` the furniture they share."""
