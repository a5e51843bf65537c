"""What other people's proxies and mail servers ask and are told: octets ↔ values, pure, a file per kind of asker."""
