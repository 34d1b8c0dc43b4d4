<?php

require __DIR__ . '/vendor/autoload.php';

$logger = new class extends Psr\Log\AbstractLogger {
    public function log($level, $message, array $context = []): void
    {
        echo $level, ' ', $message, "\n";
    }
};
$logger->info(implode(' ', array_slice($argv, 1)));
