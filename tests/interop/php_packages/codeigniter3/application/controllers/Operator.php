<?php
class Operator extends CI_Controller
{
    public function index()
    {
        $user = $this->sso->user();
        echo 'Pengguna: ' . htmlspecialchars($user['name']);
    }
}
