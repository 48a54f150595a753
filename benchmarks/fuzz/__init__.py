"""Damages runs and records at random and reads them again."""
