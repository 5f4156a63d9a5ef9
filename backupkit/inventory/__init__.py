"""First fleet.toml: hosts of a list, a CSV file or an Ansible inventory, and the text of the file.

The functions are pure but for `read_source` and `read_example`. They contact no appliance.
"""

from backupkit.inventory.additions import add_appliances
from backupkit.inventory.example import find_data_folder, read_example
from backupkit.inventory.fleet_text import Setup, format_appliance, format_fleet
from backupkit.inventory.hosts import HostKey, ListedHost, is_address, parse_host, split_port
from backupkit.inventory.names import name_hosts
from backupkit.inventory.sources import read_source, read_text

__all__ = [
    "HostKey",
    "ListedHost",
    "Setup",
    "add_appliances",
    "find_data_folder",
    "format_appliance",
    "format_fleet",
    "is_address",
    "name_hosts",
    "parse_host",
    "read_example",
    "read_source",
    "read_text",
    "split_port",
]
